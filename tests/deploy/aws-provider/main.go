// A provider that has the schema of the one of AWS and nothing behind it: validate, plan and test of Terraform find names,
// types, missing and unknown arguments with it. Everything it "makes" is invented. It knows no allowed values, no arguments
// that exclude each other, and nothing of what AWS does: what passes here was never applied.
package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"log"
	"math/big"
	"sync/atomic"

	"github.com/hashicorp/terraform-plugin-go/tfprotov6"
	"github.com/hashicorp/terraform-plugin-go/tfprotov6/tf6server"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

//go:embed schema.json
var raw []byte

type attr struct {
	Type                                    json.RawMessage
	Required, Optional, Computed, WriteOnly bool
}
type block struct {
	Nesting    string
	Min, Max   int64
	Attributes map[string]attr
	Blocks     map[string]block
}
type doc struct {
	Resources, Data map[string]block
	Provider        block
}

func ty(r json.RawMessage) tftypes.Type {
	var s string
	if json.Unmarshal(r, &s) == nil {
		switch s {
		case "number":
			return tftypes.Number
		case "bool":
			return tftypes.Bool
		case "dynamic":
			return tftypes.DynamicPseudoType
		}
		return tftypes.String
	}
	var l []json.RawMessage
	_ = json.Unmarshal(r, &l)
	var k string
	_ = json.Unmarshal(l[0], &k)
	switch k {
	case "set":
		return tftypes.Set{ElementType: ty(l[1])}
	case "map":
		return tftypes.Map{ElementType: ty(l[1])}
	}
	return tftypes.List{ElementType: ty(l[1])}
}

func dyn(b block) bool {
	for _, a := range b.Attributes {
		if string(a.Type) == "\"dynamic\"" {
			return true
		}
	}
	for _, c := range b.Blocks {
		if dyn(c) {
			return true
		}
	}
	return false
}

func conv(b block) *tfprotov6.SchemaBlock {
	o := &tfprotov6.SchemaBlock{}
	for n, a := range b.Attributes {
		o.Attributes = append(o.Attributes, &tfprotov6.SchemaAttribute{Name: n, Type: ty(a.Type), Required: a.Required, Optional: a.Optional, Computed: a.Computed, WriteOnly: a.WriteOnly})
	}
	for n, c := range b.Blocks {
		m := map[string]tfprotov6.SchemaNestedBlockNestingMode{"list": tfprotov6.SchemaNestedBlockNestingModeList, "set": tfprotov6.SchemaNestedBlockNestingModeSet, "single": tfprotov6.SchemaNestedBlockNestingModeSingle}[c.Nesting]
		if c.Nesting == "set" && dyn(c) {
			m = tfprotov6.SchemaNestedBlockNestingModeList
		}
		o.BlockTypes = append(o.BlockTypes, &tfprotov6.SchemaNestedBlock{TypeName: n, Nesting: m, MinItems: c.Min, MaxItems: c.Max, Block: conv(c)})
	}
	return o
}

type server struct {
	tfprotov6.ProviderServer
	d   doc
	sch map[string]*tfprotov6.Schema
	dat map[string]*tfprotov6.Schema
}

var seq atomic.Int64

func (s *server) GetMetadata(context.Context, *tfprotov6.GetMetadataRequest) (*tfprotov6.GetMetadataResponse, error) {
	return nil, fmt.Errorf("unimplemented")
}
func (s *server) GetProviderSchema(context.Context, *tfprotov6.GetProviderSchemaRequest) (*tfprotov6.GetProviderSchemaResponse, error) {
	return &tfprotov6.GetProviderSchemaResponse{Provider: &tfprotov6.Schema{Block: conv(s.d.Provider)}, ResourceSchemas: s.sch, DataSourceSchemas: s.dat,
		ServerCapabilities: &tfprotov6.ServerCapabilities{GetProviderSchemaOptional: true}}, nil
}
func (s *server) ValidateProviderConfig(_ context.Context, r *tfprotov6.ValidateProviderConfigRequest) (*tfprotov6.ValidateProviderConfigResponse, error) {
	return &tfprotov6.ValidateProviderConfigResponse{PreparedConfig: r.Config}, nil
}
func (s *server) ConfigureProvider(context.Context, *tfprotov6.ConfigureProviderRequest) (*tfprotov6.ConfigureProviderResponse, error) {
	return &tfprotov6.ConfigureProviderResponse{}, nil
}
func (s *server) StopProvider(context.Context, *tfprotov6.StopProviderRequest) (*tfprotov6.StopProviderResponse, error) {
	return &tfprotov6.StopProviderResponse{}, nil
}
func (s *server) ValidateResourceConfig(context.Context, *tfprotov6.ValidateResourceConfigRequest) (*tfprotov6.ValidateResourceConfigResponse, error) {
	return &tfprotov6.ValidateResourceConfigResponse{}, nil
}
func (s *server) ValidateDataResourceConfig(context.Context, *tfprotov6.ValidateDataResourceConfigRequest) (*tfprotov6.ValidateDataResourceConfigResponse, error) {
	return &tfprotov6.ValidateDataResourceConfigResponse{}, nil
}
func (s *server) UpgradeResourceState(_ context.Context, r *tfprotov6.UpgradeResourceStateRequest) (*tfprotov6.UpgradeResourceStateResponse, error) {
	t := s.sch[r.TypeName].ValueType()
	v, err := r.RawState.Unmarshal(t)
	if err != nil {
		return nil, err
	}
	dv, err := tfprotov6.NewDynamicValue(t, v)
	return &tfprotov6.UpgradeResourceStateResponse{UpgradedState: &dv}, err
}
func (s *server) ReadResource(_ context.Context, r *tfprotov6.ReadResourceRequest) (*tfprotov6.ReadResourceResponse, error) {
	return &tfprotov6.ReadResourceResponse{NewState: r.CurrentState}, nil
}

// fill replaces null computed attributes by f(name, type).
func fill(b block, v tftypes.Value, f func(n string, t tftypes.Type) tftypes.Value) tftypes.Value {
	if v.IsNull() || !v.IsKnown() {
		return v
	}
	m := map[string]tftypes.Value{}
	_ = v.As(&m)
	for n, a := range b.Attributes {
		if a.Computed && m[n].IsNull() {
			m[n] = f(n, ty(a.Type))
		}
		if a.WriteOnly {
			m[n] = tftypes.NewValue(ty(a.Type), nil)
		}
	}
	return tftypes.NewValue(v.Type(), m)
}
func (s *server) PlanResourceChange(_ context.Context, r *tfprotov6.PlanResourceChangeRequest) (*tfprotov6.PlanResourceChangeResponse, error) {
	t := s.sch[r.TypeName].ValueType()
	v, err := r.ProposedNewState.Unmarshal(t)
	if err != nil {
		return nil, err
	}
	v = fill(s.d.Resources[r.TypeName], v, func(_ string, t tftypes.Type) tftypes.Value { return tftypes.NewValue(t, tftypes.UnknownValue) })
	dv, err := tfprotov6.NewDynamicValue(t, v)
	return &tfprotov6.PlanResourceChangeResponse{PlannedState: &dv}, err
}
func (s *server) ApplyResourceChange(_ context.Context, r *tfprotov6.ApplyResourceChangeRequest) (*tfprotov6.ApplyResourceChangeResponse, error) {
	t := s.sch[r.TypeName].ValueType()
	v, err := r.PlannedState.Unmarshal(t)
	if err != nil {
		return nil, err
	}
	v, err = tftypes.Transform(v, func(p *tftypes.AttributePath, x tftypes.Value) (tftypes.Value, error) {
		if x.IsKnown() {
			return x, nil
		}
		switch {
		case x.Type().Is(tftypes.String):
			return tftypes.NewValue(tftypes.String, fmt.Sprintf("%s-%d", r.TypeName, seq.Add(1))), nil
		case x.Type().Is(tftypes.Number):
			return tftypes.NewValue(tftypes.Number, big.NewFloat(0)), nil
		case x.Type().Is(tftypes.Bool):
			return tftypes.NewValue(tftypes.Bool, false), nil
		}
		return tftypes.NewValue(x.Type(), nil), nil
	})
	if err != nil {
		return nil, err
	}
	dv, err := tfprotov6.NewDynamicValue(t, v)
	return &tfprotov6.ApplyResourceChangeResponse{NewState: &dv}, err
}
func (s *server) ReadDataSource(_ context.Context, r *tfprotov6.ReadDataSourceRequest) (*tfprotov6.ReadDataSourceResponse, error) {
	t := s.dat[r.TypeName].ValueType()
	v, err := r.Config.Unmarshal(t)
	if err != nil {
		return nil, err
	}
	v = fill(s.d.Data[r.TypeName], v, func(n string, t tftypes.Type) tftypes.Value {
		if t.Is(tftypes.String) {
			return tftypes.NewValue(t, "stub-"+n)
		}
		return tftypes.NewValue(t, nil)
	})
	dv, err := tfprotov6.NewDynamicValue(t, v)
	return &tfprotov6.ReadDataSourceResponse{State: &dv}, err
}
func (s *server) GetFunctions(context.Context, *tfprotov6.GetFunctionsRequest) (*tfprotov6.GetFunctionsResponse, error) {
	return &tfprotov6.GetFunctionsResponse{}, nil
}
func (s *server) GetResourceIdentitySchemas(context.Context, *tfprotov6.GetResourceIdentitySchemasRequest) (*tfprotov6.GetResourceIdentitySchemasResponse, error) {
	return &tfprotov6.GetResourceIdentitySchemasResponse{}, nil
}

func main() {
	s := &server{sch: map[string]*tfprotov6.Schema{}, dat: map[string]*tfprotov6.Schema{}}
	if err := json.Unmarshal(raw, &s.d); err != nil {
		log.Fatal(err)
	}
	for n, b := range s.d.Resources {
		s.sch[n] = &tfprotov6.Schema{Block: conv(b)}
	}
	for n, b := range s.d.Data {
		s.dat[n] = &tfprotov6.Schema{Block: conv(b)}
	}
	if err := tf6server.Serve("registry.opentofu.org/hashicorp/aws", func() tfprotov6.ProviderServer { return s }); err != nil {
		log.Fatal(err)
	}
}
