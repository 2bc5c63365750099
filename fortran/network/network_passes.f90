!> Networks evaluated over panels of atoms, forwards and backwards.
module tf_network_passes
   use tf_kinds, only : wp, rp => wp
   use tf_activation, only : activate, activate_twice
   use tf_dense, only : set_product, transposed_product, multiply_by_transposed_product, add_outer_product, add_column_sums
   use tf_network, only : network_type
   implicit none
   private
   public :: forward, backward_to_weights, backward_to_inputs

contains

   !> Values, slopes and, if wanted, curvatures of all layers for a panel of n_q atoms
   pure subroutine forward(net, n_q, x, weights, value, slope, curvature)
      type(network_type), intent(in) :: net
      !> Atoms of the panel (padded)
      integer, intent(in) :: n_q
      !> Descriptors, standardised
      real(rp), intent(in) :: x(n_q, net%n_nodes(1))
      real(rp), intent(in) :: weights(net%n_weights)
      !> Values of all layers after the input; the last column is the output
      real(rp), intent(out) :: value(n_q, net%n_columns)
      !> Derivative of each value with respect to its argument
      real(rp), intent(out) :: slope(n_q, net%n_columns)
      !> Second derivative
      real(rp), intent(out), optional :: curvature(n_q, net%n_columns)
      integer :: l, n_in, n_out, w, c

      do l = 1, net%n_layers - 1
         n_in = net%n_nodes(l)
         n_out = net%n_nodes(l + 1)
         w = net%weight_offset(l)
         c = net%node_offset(l + 1)
         if (l == 1) then
            call set_product(n_q, n_in, n_out, x, weights(w + 1), value(1, c + 1), weights(w + n_in*n_out + 1))
         else
            call set_product(n_q, n_in, n_out, value(1, net%node_offset(l) + 1), weights(w + 1), value(1, c + 1), &
               weights(w + n_in*n_out + 1))
         end if
         if (present(curvature)) then
            call activate_twice(net%activation(l + 1), n_q*n_out, value(1, c + 1), slope(1, c + 1), curvature(1, c + 1))
         else
            call activate(net%activation(l + 1), n_q*n_out, value(1, c + 1), slope(1, c + 1))
         end if
      end do
   end subroutine forward

   !> Add the derivative of Σ_q seed(q)·output(q) with respect to the weights to `gradient`
   pure subroutine backward_to_weights(net, n_q, x, weights, seed, value, slope, gradient)
      type(network_type), intent(in) :: net
      !> Atoms of the panel (padded); the rest as for `forward`
      integer, intent(in) :: n_q
      real(rp), intent(in) :: x(n_q, net%n_nodes(1))
      real(rp), intent(in) :: weights(net%n_weights)
      !> Derivative of the loss with respect to each atom's output
      real(rp), intent(in) :: seed(n_q)
      !> From `forward`
      real(rp), intent(in) :: value(n_q, net%n_columns)
      !> From `forward`; overwritten with the derivatives with respect to the arguments
      real(rp), intent(inout) :: slope(n_q, net%n_columns)
      real(wp), intent(inout) :: gradient(net%n_weights)
      integer :: l, n_in, n_out, w, c

      c = net%node_offset(net%n_layers) + 1
      slope(:, c) = slope(:, c)*seed
      do l = net%n_layers - 1, 1, -1
         n_in = net%n_nodes(l)
         n_out = net%n_nodes(l + 1)
         w = net%weight_offset(l)
         c = net%node_offset(l + 1)
         if (l > 1) then
            call add_outer_product(n_q, n_in, n_out, value(1, net%node_offset(l) + 1), slope(1, c + 1), &
               gradient(w + 1))
         else
            call add_outer_product(n_q, n_in, n_out, x, slope(1, c + 1), gradient(w + 1))
         end if
         call add_column_sums(n_q, n_out, slope(1, c + 1), gradient(w + n_in*n_out + 1))
         if (l > 1) call multiply_by_transposed_product(n_q, n_in, n_out, weights(w + 1), slope(1, c + 1), &
            slope(1, net%node_offset(l) + 1))
      end do
   end subroutine backward_to_weights

   !> Derivative of each atom's output with respect to its inputs
   pure subroutine backward_to_inputs(net, n_q, weights, slope, derivative)
      type(network_type), intent(in) :: net
      !> Atoms of the panel (padded)
      integer, intent(in) :: n_q
      real(rp), intent(in) :: weights(net%n_weights)
      !> From `forward`, as for `backward_to_weights`
      real(rp), intent(inout) :: slope(n_q, net%n_columns)
      real(rp), intent(out) :: derivative(n_q, net%n_nodes(1))
      integer :: l, n_in, n_out, w, c

      do l = net%n_layers - 1, 1, -1
         n_in = net%n_nodes(l)
         n_out = net%n_nodes(l + 1)
         w = net%weight_offset(l)
         c = net%node_offset(l + 1)
         if (l > 1) then
            call multiply_by_transposed_product(n_q, n_in, n_out, weights(w + 1), slope(1, c + 1), &
               slope(1, net%node_offset(l) + 1))
         else
            call transposed_product(n_q, n_in, n_out, weights(w + 1), slope(1, c + 1), derivative)
         end if
      end do
   end subroutine backward_to_inputs

end module tf_network_passes
